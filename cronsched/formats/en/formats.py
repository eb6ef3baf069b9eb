"""How the console writes dates: as the API does, and with seconds. Django takes these before the language's own."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s"
