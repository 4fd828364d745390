"""What people read: the verdict, its pictures, and the report that holds both."""
