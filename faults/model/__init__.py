"""Random sequences of acts on the live service, compared answer by answer with a small model."""

from faults.model.campaign import follow_model

__all__ = ["follow_model"]
