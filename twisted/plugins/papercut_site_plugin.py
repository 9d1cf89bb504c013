from twisted.application.service import ServiceMaker

papercut_site = ServiceMaker(
    "papercut-site",
    "papercutd.roles.site",
    "papercutd: the server of a site",
    "papercut-site",
)
