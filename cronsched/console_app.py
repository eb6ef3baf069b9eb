"""Django's admin with the console's site. Apart from the pages, which cannot be imported before the apps are."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    default_site = "cronsched.console.site.ConsoleSite"
