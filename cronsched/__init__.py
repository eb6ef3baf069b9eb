"""The project. Importing it settles where time zones come from, before anybody makes one."""

from cronsched.lib import time_zones

time_zones.use_locked()
