"""The one door: every effect is admitted, recorded and ended here."""
