"""Tests of the lanes: quota, pace, routing, admission; all of them on times that they name themselves."""
