"""Where the cloud tier keeps its objects, as the settings say it.

In: settings. Out: a ``StorePlace``. Invariant: nothing is contacted. Raises SettingsError, with which
the process ends with 2.
"""

from sprawl.errors import SettingsError
from sprawl.log.cloud.place import StorePlace, parse_place
from sprawl.settings import Settings


def object_store(settings: Settings) -> StorePlace:
    """The place of a cloud tier that is on."""
    if not settings.has_disk:
        raise SettingsError(
            "the cloud tier takes what leaves the disk tier, which is off: turn the disk tier on "
            "or the cloud tier off",
            location=settings.origin("cloud_enabled").where,
        )
    return parse_place(
        settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )
