"""The project. Importing it sets the source of time zones before any is loaded."""

from cronsched.lib import time_zones

time_zones.use_locked()
