"""seqdyn: every sequence model is a stateful predictor, y_t, h_t = f(x_t, h_{t-1}).

Every module stands on a floor, and imports from lower floors only.

    floor 0   state             trees of tensors
              checks            checks of arguments
              kernels           fused recurrences on raw tensors
              progress, facts   a bar, a log and a callback for what takes time; what an object shows of itself
              registry, arrays  what files may name; the type of arrays
              activations, affine, generators       activation functions; affine maps; random generators
              torch_modules, levenberg_marquardt    torch's recurrent modules; nonlinear least squares
              lazy_names, typed_bases               names imported on first use; scikit-learn's bases, with types
    floor 1   cell              the contract Cell
              loops             scan and rollout: the only loops over time
              prepared          the step of one row, in numpy
              data              containers in, the same containers out
              metrics           scores, with their exact definitions
              figures, unrolled_figure              one plot style; a cell drawn unrolled in time
              files, file_content                   the file format
              phase_figures     portraits, return maps, spectra and bifurcations
    floor 2   composition       Stack, Residual, Readout, Offset, Embedding, Identity
              encoder           both directions
              scores            attention: how much each row of a memory matters to a query
              rows              pictures row by row, and pixel by pixel
              flow              systems given by a differential equation
              held              a cell under a constant input
              glimpses          windows of Gaussian filters on a picture
              initial_state     zero, random, learned, warm-up
              autoregression    own predictions where the past is not known
              delay_line        the last p values at every step, and centring
              wrapper           a cell around a cell
              backend           which path runs a cell, and why
              model_parts       the parts of a torch model
              decoding_strategy greedy, sampled or searched: how a symbol is chosen
              teacher_forcing   how much of the true past a training sees
              row_modules       cells that any torch module reads, or is read by
              step_function     a plain function (x, h) -> (y, h) as a cell
    floor 3   cells             one recurrence a file
              systems           known dynamics as cells
              training          objectives, heads, batches, and the loop: BPTT and truncated BPTT
              dynamics          measurements of any cell
              codecs            between the units of the data and those of a network
              stream            the one mutable object
              decoding          symbols drawn from scores, over any cell
              encoder_decoder   one sequence becomes another
              autoencoder       a sequence becomes a vector, and a sequence again
              picture_encoder   what a decoder reads of a picture
    floor 4   identification    linear systems from data, and what they do
              conversion        torch's own networks as cells
              torch_parts       cells as torch's own networks
              predictor         a fitted network with all that is needed to use it
              sentences         what a decoder writes, searched for and scored
    floor 5   estimators        scikit-learn estimators
    floor 6   forecasting       forecasters of frames, their baselines and backtests
              language          language models, classifiers of texts, translators
              images            models that write, paint and tell pictures
              motion            models that move: joint angles from a drive, rhythms, steering
    floor 7   reports           comparisons of models, the stability of gradients, motion, audits
              datasets          load_* and fetch_*
    floor 8   cli               the command line

Names are imported when they are first used; importing seqdyn itself loads nothing else.
"""

from seqdyn.lazy_names import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__, "__version__")
