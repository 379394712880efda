"""Would this claim resolve YES? Nine criteria of the forecast question, each with its evidence and what would overturn it."""
