"""What the robot's update client is called, in one place.

Debian's 3.4 is `mender`; from 4 on it is `mender-update`, run by `mender-updated.service`
(docs/ota.md, "A later client").
"""

from typing import Final

COMMAND: Final = "mender"
UNIT: Final = "mender-client.service"
