"""The cache: pages of objects of under-stores on local disks, and reading through it."""
