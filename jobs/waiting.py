"""How many requests of one web process may wait for targets at the same time: the others need threads as well."""

import threading

from django.conf import settings

# How long a request waits while all places are taken.
BRIEF_SECONDS = 0.5
# What a caller is told to wait where not even one more can be taken.
BUSY_SECONDS = 10

# Half of the threads, for runs by hand and test runs together.
places = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))
