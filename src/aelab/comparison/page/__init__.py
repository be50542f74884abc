"""The comparison as one HTML file: tables in the page, charts by its own scripts, pictures embedded."""
