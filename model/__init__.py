"""Skin-lesion classification: one file per task, shared by the scripts beside this package."""
