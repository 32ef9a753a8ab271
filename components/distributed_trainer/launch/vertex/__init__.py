"""Workers as machines of Vertex AI."""
