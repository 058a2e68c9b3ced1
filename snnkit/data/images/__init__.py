"""torchvision's still images, sent in a code."""
