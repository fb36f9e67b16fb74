"""Where text is: networks, what they learn, and how their maps become outlines."""
