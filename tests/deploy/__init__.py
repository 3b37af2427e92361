"""The files of deploy/, each read by the program it is for."""
