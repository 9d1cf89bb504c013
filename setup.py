"""Packaging for papercutd.  See docs/architecture.md, "Packaging"."""

from setuptools import find_packages, setup

setup(
    name="papercutd",
    version="0.1.0",
    python_requires=">=3.11",
    # Explicit root. Without this line setuptools' PEP 660 editable install uses an
    # import-hook finder, which twisted.plugins cannot scan: "Unknown command".
    package_dir={"": "."},
    packages=[
        *find_packages(
            include=[
                "papercutd",
                "papercutd.*",
                "protocols",
                "protocols.*",
                "plugins",
                "plugins.*",
            ]
        ),
        # Contributes plugin modules only. twisted/ and twisted/plugins/ must never
        # contain __init__.py: installing one overwrites Twisted's, uninstalling deletes it.
        "twisted.plugins",
    ],
    package_data={
        "papercutd": [
            "storage/schema/*/*.sql",
            "storage/schema/postgresql/*/*.sql",
            "provider/backend/papercut",
            "py.typed",
            "faces/templates/*",
        ],
        "protocols": ["py.typed"],
    },
    data_files=[
        (
            "etc/papercutd",
            ["etc/papercut-app.toml", "etc/papercut-site.toml", "etc/papercut-provider.toml"],
        )
    ],
    install_requires=[
        "argon2-cffi>=23.1",
        "attrs>=23.2",
        "cryptography>=42",
        # Operations on PostgreSQL wait in greenlets: docs/decisions/0014.
        "greenlet>=3.0",
        "Jinja2>=3.1",
        "msgspec>=0.19",
        "pyOpenSSL>=24.3",
        "psycopg2-binary>=2.9",
        "pypdfium2>=4.30",
        "service-identity>=24.1",
        "treq>=24.9",
        "twisted[conch,tls]>=24.7",
        "txpostgres>=1.7",
    ],
    extras_require={
        "test": [
            "hypothesis>=6.100",
            "mypy>=1.10",
            "mypy-zope>=1.0.5",
            # Drives Debian's Chromium; brings no browser of its own.
            "playwright>=1.40",
            "ruff>=0.6",
            "towncrier>=23.11",
        ],
    },
    entry_points={
        "console_scripts": [
            "papercutd = papercutd.commands.main:run",
            "papercut-lp = papercutd.commands.submit:main",
            "papercut-device = papercutd.commands.device:run",
            "papercut-client = papercutd.commands.client:run",
        ]
    },
    zip_safe=False,
)
