from twisted.application.service import ServiceMaker

papercut_app = ServiceMaker(
    "papercut-app",
    "papercutd.roles.app",
    "papercutd: the application server",
    "papercut-app",
)
