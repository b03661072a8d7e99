"""A stand-in for Open OnDemand's dashboard: for the demo and the tests only. A site uses Open OnDemand itself.

It does what OnDemand 4 does with a batch-connect app, and no more: form, ERB, staging, job script, job, card, and
Apache httpd with OnDemand's proxy rules in front.
"""
