"""The bridge: records of the user's topics become events and labels of the application, exactly once."""
