"""The overrides of a training that takes a second."""

SMALL = [
    "logger=[]",
    "threads=1",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=3",
    "model.encoder.widths=[16]",
    "model.decoder.widths=[16]",
]
