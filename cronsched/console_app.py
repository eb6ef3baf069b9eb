"""Django's admin with the console's site. Apart from the pages, which cannot be imported before the apps are."""

from django.contrib.admin.apps import SimpleAdminConfig


class ConsoleConfig(SimpleAdminConfig):
    default_site = "cronsched.console.site.ConsoleSite"
