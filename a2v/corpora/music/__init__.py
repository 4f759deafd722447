"""Algorithmic music: scores, arrangements, instruments and the sound they make."""
