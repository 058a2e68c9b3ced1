"""Work in a process of its own: libraries in C may crash or never end on a damaged file.

A task is a function `name(asked, link)` in a module that only the process imports; `client.Session` runs it and gives
its frames, `server` is the process and says what the two tell each other, `link` is the task's end, `messages` carries
arrays of any size.
"""
