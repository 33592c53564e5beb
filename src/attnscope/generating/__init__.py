"""Making a picture from a prompt, whatever the pipeline's class.

plan.py  what to make, the arguments of the call, and how large its trace becomes
"""
