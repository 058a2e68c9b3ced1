"""EventFolder: a folder of recordings for each class, in any format that is known."""
