from twisted.application.service import ServiceMaker

papercut_provider = ServiceMaker(
    "papercut-provider",
    "papercutd.roles.provider",
    "papercutd: the print provider",
    "papercut-provider",
)
