"""The user's folders of configurations, which Hydra searches before the packaged one."""

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from aelab.config.folders import own


class AelabFolders(SearchPathPlugin):
    """Puts them before `main`, where Hydra's own `--config-dir` would put them after it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in own():
            search_path.prepend("aelab", f"file://{folder}", SearchPathQuery(provider="main"))
