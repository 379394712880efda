"""Does your sparse autoencoder beat the baseline? A fair fight on downstream tasks.

The data flows one way: models -> activations -> dictionaries -> contests -> trials -> ledger, and from the
ledger alone to the verdict and the report. `README.md` prints the tree; `CONTRIBUTING.md` says how to add a
task, a method or a dictionary kind (one file each).
"""

__version__ = "0.1.0"
