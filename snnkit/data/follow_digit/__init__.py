"""FollowDigit: simulated windows of a saccading event sensor that looks at a moving digit; where is it?"""
