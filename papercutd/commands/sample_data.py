"""stub"""
def add_sample_data_command(add): pass
