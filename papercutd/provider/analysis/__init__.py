"""What a document is: pages, sizes and colour, found out in a separate, limited process.

That process imports this package: nothing is imported here, so that it starts without Twisted.
"""
