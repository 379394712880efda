"""Plug-ins, one file a dictionary kind: `kinds/topk.py` holds the recipe `TopK`, called `topk` in a study."""
