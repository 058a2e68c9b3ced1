"""Digits: scikit-learn's still images, for codes."""
