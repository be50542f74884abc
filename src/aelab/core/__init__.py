"""The ground: records that travel, errors that a user can mend, seeds, schedules, files and words."""
