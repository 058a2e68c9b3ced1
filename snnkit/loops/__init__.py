"""Networks that steer what they sense: a simulated world, a controller, and a model or an emulated chip in a loop."""
