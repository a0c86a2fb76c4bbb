"""One model on several devices: layouts of ranks, attention across them, splitting of tokens and of guidance."""
