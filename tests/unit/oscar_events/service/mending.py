"""What a model would change about a wrong document."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from oscar_events.mistakes import Change, Loc
from oscar_events.service import Service

BLUR: dict[str, Any] = {"name": "blur", "image": "busybox", "script": "true"}


def proposed(**fields: Any) -> dict[Loc, Change | None]:
    """Return the change for each thing that is wrong with a service."""
    with pytest.raises(ValidationError) as caught:
        Service.model_validate({**BLUR, **fields})
    return {error["loc"]: error["ctx"]["change"] for error in caught.value.errors(include_url=False)}
