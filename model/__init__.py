"""Skin-lesion classification: one file a job, shared by the scripts beside this package."""
