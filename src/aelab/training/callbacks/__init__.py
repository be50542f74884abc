"""What happens beside a training: resume points, pictures, progress."""
