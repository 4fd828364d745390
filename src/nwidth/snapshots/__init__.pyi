from .levels import at_time as at_time
from .levels import at_times as at_times
from .levels import final as final
from .levels import on_nodes as on_nodes
from .levels import windowed as windowed
