"""The folder in which the web processes of one service add up what they count."""

import logging
import os
import shutil
import sys
import tempfile

logger = logging.getLogger(__name__)

# Read by prometheus_client when it is imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare() -> str:
    """Make the folder and return its path; blank where there can be none, and each process counts for itself.

    Call it before anything imports prometheus_client.
    """
    assert "prometheus_client" not in sys.modules
    try:
        folder = tempfile.mkdtemp(prefix="cronsched-counts-")
    except OSError as error:
        os.environ.pop(VARIABLE, None)
        logger.warning("No temporary folder: /metrics shows the requests of one web process only (%s)", error)
        return ""
    os.environ[VARIABLE] = folder
    return folder


def remove(folder: str) -> None:
    """Remove the folder when no process serves any more."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
