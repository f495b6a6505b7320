"""Values turned into text: for eyes and for programs. Pure: nothing here prints."""
