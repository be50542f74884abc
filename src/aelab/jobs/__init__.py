"""What a trained model is for: finding anomalies, compression, restoration, augmentation."""
