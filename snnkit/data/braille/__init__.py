"""Braille: tactile readings of letters, as send-on-delta events."""
