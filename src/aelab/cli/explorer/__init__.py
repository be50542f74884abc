"""A trained model under the user's hands, in the browser."""
