"""The picking policy: a scripted expert, behaviour cloning from it, and its evaluation."""
