import os

from django.core.wsgi import get_wsgi_application

from cronsched.bodies import WholeBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")

from django.conf import settings

application = WholeBodies(
    get_wsgi_application(),
    # An upload is wrapped in some lines of its form.
    most=max(settings.MAX_BODY_BYTES, settings.MAX_UPLOAD_BYTES + 64 * 1024),
    # Half of the threads may wait for runs by hand; the rest answers whatever else happens.
    at_once=max(1, settings.WEB_THREADS // 4),
)
