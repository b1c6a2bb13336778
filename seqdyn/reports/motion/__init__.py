"""What a fitted motion model does when it runs free: its rhythm, its cycle, its fixed points, its neurons."""
